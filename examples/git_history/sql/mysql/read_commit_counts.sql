-- What every commit left in the store, for verification.
select hash, events, refused
from commits
