#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| milena_fuzz::Target::GroupAssignor.run(data));
