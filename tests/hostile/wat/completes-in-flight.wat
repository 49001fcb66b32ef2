;; Without a state: proceed, release one device of wave 0, and return a state of one byte. With a state: complete.
;; In the input the state is at 256.
(if (i32.eqz (i32.load offset=260 (local.get $input)))
  (then
    (i32.store (i32.const 912) (i32.const 0))
    (i64.store (i32.const 920) (i64.const 1))
    (i32.store (i32.const 648) (i32.const 912))
    (i32.store (i32.const 652) (i32.const 1))
    (i32.store (i32.const 656) (i32.const 0))
    (i32.store (i32.const 700) (i32.const 1))))
(i32.const 640)
