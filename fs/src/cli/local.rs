//! The servers of `weft mount --local`, in this process: the only file here that names them.
