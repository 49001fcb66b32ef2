;; Proceed, and release one device of wave 1.
(i32.store (i32.const 912) (i32.const 1))
(i64.store (i32.const 920) (i64.const 1))
(i32.store (i32.const 648) (i32.const 912))
(i32.store (i32.const 652) (i32.const 1))
(i32.store (i32.const 656) (i32.const 0))
(i32.const 640)
