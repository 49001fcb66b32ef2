mod admit;
mod apply;
mod back;
mod deadlines;
mod lease;
