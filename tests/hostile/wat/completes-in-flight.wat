;; Without a state, proceed, admit one device of wave 0, and leave a state of one byte; with one, complete. In a question
;; the state stands at 196.
(if (i32.eqz (i32.load offset=200 (local.get $question)))
  (then
    (i32.store (i32.const 912) (i32.const 0))
    (i64.store (i32.const 920) (i64.const 1))
    (i32.store (i32.const 648) (i32.const 912))
    (i32.store (i32.const 652) (i32.const 1))
    (i32.store (i32.const 656) (i32.const 0))
    (i32.store (i32.const 692) (i32.const 1))))
(i32.const 640)
