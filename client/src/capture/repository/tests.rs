//! Compares what is read here with what git says.
