;; An error of 8 MiB.
(drop (memory.grow $memory (i32.const 128)))
(i32.store8 (i32.const 640) (i32.const 1))
(i32.store (i32.const 648) (i32.const 65536))
(i32.store (i32.const 652) (i32.const 8388608))
(i32.const 640)
