mod admit;
mod apply;
mod back;
mod deadlines;
mod lease;
mod passed_over;
mod tries;
