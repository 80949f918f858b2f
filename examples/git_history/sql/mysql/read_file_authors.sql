-- Every file with every one of its authors, for verification.
select path, author
from file_authors
