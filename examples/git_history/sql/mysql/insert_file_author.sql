-- Notes that an author changed a file; the pair may be there.
-- ? path, ? author, ? author again
-- An "insert ignore" would ignore every other error, too.
insert into file_authors (path, author_hash, author)
values (?, unhex(sha2(?, 256)), ?)
on duplicate key update author_hash = author_hash
