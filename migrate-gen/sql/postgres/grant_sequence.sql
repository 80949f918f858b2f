-- Appends and readers look at the last position that was drawn. This right does not draw one.
grant select on sequence {sequence} to {roles};
