;; Proceed, and release a billion devices of wave 7.
(i32.store (i32.const 912) (i32.const 7))
(i64.store (i32.const 920) (i64.const 1000000000))
(i32.store (i32.const 648) (i32.const 912))
(i32.store (i32.const 652) (i32.const 1))
(i32.store (i32.const 656) (i32.const 0))
(i32.const 640)
