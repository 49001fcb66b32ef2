mod apply;
mod check;
mod deadlines;
mod lease;
mod offer;
mod retries;
mod rollback;
mod skipped;
