;; ok: healthy, without confidence, state, explanation and extras, all of which are 0.
(func (export "tidegate:plugin/health@1.0.0#evaluate") (param $input i32) (result i32)
  (local $at i32)
  ;;EVALUATE
)
