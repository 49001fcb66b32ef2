(loop $again
  (call $line (i32.const 1024) (i32.const 22))
  (br $again))
unreachable
