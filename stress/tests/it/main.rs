//! The program as its users run it: as a process.

mod refusals;
