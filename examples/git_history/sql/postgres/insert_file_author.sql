-- Notes that an author changed a file; the pair may be there.
-- $1 path, $2 author
insert into file_authors (path, author)
values ($1, $2)
on conflict (path, author) do nothing
