;; ok: one class, which is compatible.
(func (export "tidegate:plugin/compatibility@1.0.0#check") (param $input i32) (result i32)
  (local $at i32)
  (i32.store (i32.const 516) (i32.const 800))
  (i32.store (i32.const 520) (i32.const 1))
  ;;CHECK
)
