(drop (memory.grow $memory (i32.const 500)))
(loop $again
  (memory.fill (i32.const 65536) (i32.const 1) (i32.const 32000000))
  (br $again))
unreachable
