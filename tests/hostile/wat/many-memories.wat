;; Each memory stays below the limit, but not their sum.
(drop (memory.grow $second (i32.const 400)))
(drop (memory.grow $third (i32.const 400)))
(if (i32.eq (memory.grow $fourth (i32.const 400)) (i32.const -1)) (then unreachable))
(i32.const 640)
