;; A million sentences: the list itself has 8 MiB, and each entry could refer to 1 MiB more.
(drop (memory.grow $memory (i32.const 200)))
(i32.store (i32.const 704) (i32.const 131072))
(i32.store (i32.const 708) (i32.const 1000000))
(local.set $at (i32.const 131072))
(loop $again
  (i32.store (local.get $at) (i32.const 1024))
  (i32.store offset=4 (local.get $at) (i32.const 7))
  (local.set $at (i32.add (local.get $at) (i32.const 8)))
  (br_if $again (i32.lt_u (local.get $at) (i32.const 8131072))))
(i32.const 640)
