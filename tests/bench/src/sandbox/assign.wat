;; The wave of a device: its place, 0 to 4294967295, times the number of waves, divided by 4294967296.
;; In the input, `waves` has its length at 92, `place` its pointer at 136 and its length at 140.
(func $spread (param $input i32) (result i32)
  (local $from i32) (local $end i32) (local $to i32) (local $rows i32) (local $waves i64)
  (local.set $rows (i32.load (i32.add (local.get $input) (i32.const 140))))
  (local.set $from (i32.load (i32.add (local.get $input) (i32.const 136))))
  (local.set $waves (i64.load32_u (i32.add (local.get $input) (i32.const 92))))
  (local.set $to
    (i32.shl
      (memory.grow $memory
        (i32.add (i32.shr_u (local.get $rows) (i32.const 14)) (i32.const 1)))
      (i32.const 16)))
  (i32.store (i32.const 512) (i32.const 0))
  (i32.store (i32.const 516) (local.get $to))
  (i32.store (i32.const 520) (local.get $rows))
  (local.set $end (i32.add (local.get $from) (i32.shl (local.get $rows) (i32.const 2))))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
      (i32.store (local.get $to)
        (i32.wrap_i64
          (i64.shr_u
            (i64.mul (i64.load32_u (local.get $from)) (local.get $waves))
            (i64.const 32))))
      (local.set $from (i32.add (local.get $from) (i32.const 4)))
      (local.set $to (i32.add (local.get $to) (i32.const 4)))
      (br $next)))
  (i32.const 512))
