;; Proceed, and release one device of wave 0; two if the first policy returns hold or roll back. In the input the list
;; of verdicts is at 240, and in a verdict the case at 8.
(i32.store (i32.const 912) (i32.const 0))
(i64.store (i32.const 920) (i64.const 1))
(if (i32.load offset=244 (local.get $input))
  (then
    (if (i32.ge_u
          (i32.load8_u offset=8 (i32.load offset=240 (local.get $input)))
          (i32.const 2))
      (then (i64.store (i32.const 920) (i64.const 2))))))
(i32.store (i32.const 648) (i32.const 912))
(i32.store (i32.const 652) (i32.const 1))
(i32.store (i32.const 656) (i32.const 0))
(i32.const 640)
