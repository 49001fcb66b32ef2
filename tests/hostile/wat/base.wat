;; The part of an honest plugin that all worlds share, in the layout that the canonical ABI gives the contract.
;;
;; Memory:    16  empty lists                   256  output of `describe`
;;           336  output of `wants`             512  output of the world's calls, but `decide`
;;           640  output of `decide`            800  the plan's one wave, the one verdict
;;          1024  strings                      8192  the config schema
;;         65536  inputs from the host        131072  texts of hostile plugins
(module
  (import "tidegate:plugin/log@1.0.0" "line" (func $line (param i32 i32)))
  ;;IMPORTS
  (memory $memory (export "memory") 4)
  (global $free (mut i32) (i32.const 65536))

  (data (i32.const 1024) "hostile1.0.0means harmwave")
  (data (i32.const 8064) "acme/hostile")
  (data (i32.const 8128) "VERSION_TEXT")
  (data (i32.const 8192) "SCHEMA_TEXT")

  ;; ok: name, version, summary, schema, state-schema, extras
  (func (export "tidegate:plugin/meta@1.0.0#describe") (result i32)
    (local $at i32)
    (i32.store (i32.const 256) (i32.const 0))
    (i32.store (i32.const 260) (i32.const 8064))
    (i32.store (i32.const 264) (i32.const 12))
    (i32.store (i32.const 268) (i32.const 8128))
    (i32.store (i32.const 272) (i32.const VERSION_LENGTH))
    (i32.store (i32.const 276) (i32.const 1036))
    (i32.store (i32.const 280) (i32.const 10))
    (i32.store (i32.const 284) (i32.const 8192))
    (i32.store (i32.const 288) (i32.const SCHEMA_LENGTH))
    (i32.store (i32.const 292) (i32.const 1))
    (i32.store (i32.const 296) (i32.const 16))
    (i32.store (i32.const 300) (i32.const 0))
    ;;DESCRIBE
  )

  ;; ok: no errors
  (func (export "tidegate:plugin/meta@1.0.0#validate") (param $input i32) (param i32) (result i32)
    (local $at i32)
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 16))
    (i32.store (i32.const 24) (i32.const 0))
    ;;VALIDATE
  )

  ;; ok: no attributes, metrics, facts and extras
  (func (export "tidegate:plugin/meta@1.0.0#wants") (param $input i32) (param i32) (result i32)
    (local $at i32)
    (i32.store (i32.const 336) (i32.const 0))
    (i32.store (i32.const 340) (i32.const 16))
    (i32.store (i32.const 344) (i32.const 0))
    (i32.store (i32.const 348) (i32.const 16))
    (i32.store (i32.const 352) (i32.const 0))
    (i32.store (i32.const 356) (i32.const 16))
    (i32.store (i32.const 360) (i32.const 0))
    (i32.store (i32.const 364) (i32.const 16))
    (i32.store (i32.const 368) (i32.const 0))
    ;;WANTS
  )

  ;;WORLD

  ;; Allocates memory and never frees it.
  (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    ;;ALLOCATE
    (local.set $at
      (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $free (i32.add (local.get $at) (local.get $new)))
    (block $fits
      (br_if $fits
        (i32.le_u (global.get $free) (i32.mul (memory.size $memory) (i32.const 65536))))
      (br_if $fits
        (i32.ne
          (memory.grow $memory
            (i32.add (i32.shr_u (local.get $new) (i32.const 16)) (i32.const 1)))
          (i32.const -1)))
      unreachable)
    (local.get $at))

  ;;MORE
)
