(i32.store (i32.const 704) (i32.const 0x7fff0000))
(i32.store (i32.const 708) (i32.const 1))
(i32.const 640)
