//! Memory that was freed.

/// Returns freed memory to the system. Only glibc's allocator needs it.
pub(crate) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // without a thread, it is tried again the next time
        let _ = std::thread::Builder::new().name("dunlin-trim".into()).spawn(|| {
            #[allow(unsafe_code)]
            unsafe extern "C" {
                /// See malloc_trim(3).
                safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
            }
            malloc_trim(0)
        });
    }
}
