#![no_main]

#[path = "../../tests/it/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|input: &str| {
    // What is not UTF-8 is asked for again, which would take most of the time.
    properties::role_json(input.as_bytes());
});
