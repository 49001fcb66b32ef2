(loop $again
  (drop (memory.grow $memory (i32.const 0)))
  (br $again))
unreachable
