;; One wave of a trillion devices.
(i32.store (i32.const 808) (i32.const 0))
(i64.store (i32.const 816) (i64.const 1000000000000))
(i32.const 512)
