//! Where things live: the one reader of the environment.

