;; An error that is not UTF-8.
(i32.store (i32.const 900) (i32.const 0xfffefdfc))
(i32.store8 (i32.const 640) (i32.const 1))
(i32.store (i32.const 648) (i32.const 900))
(i32.store (i32.const 652) (i32.const 4))
(i32.const 640)
