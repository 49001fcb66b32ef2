;; One wave of 655 %.
(i32.store (i32.const 808) (i32.const 1))
(i32.store16 (i32.const 816) (i32.const 65535))
(i32.const 512)
