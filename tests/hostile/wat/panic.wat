(call $line (i32.const 1036) (i32.const 10))
unreachable
