//! An engine in Rust, in one file: engine STORE MODEL
//!
//! Streams the layers through RAM with the next ones in progress, and prints for each tensor its name, type, shape and
//! checksum (FNV-1a).
//!
//!     rustc -O engine.rs -L native=/usr/local/lib -l dylib=weightstore

use std::ffi::{c_char, c_void, CStr, CString};
use std::{env, process, ptr, slice};

/// The part of weightstore.h that the engine uses.
mod c {
    use std::ffi::{c_char, c_void};

    pub const NOT_FOUND: i32 = 4;

    #[repr(C)]
    pub struct Tensor {
        pub struct_size: usize,
        pub name: *const c_char,
        pub dtype: *const c_char,
        pub file: *const c_char,
        pub stack: *const c_char,
        pub layer: i64,
        pub expert: i64,
        pub rank: i64,
        pub shape: *const i64,
        pub strides: *const i64,
        pub bytes: u64,
        pub shard: *const c_char,
        pub data: *const c_void,
        pub device_type: i32,
        pub device_id: i32,
        pub shard_offset: u64,
    }

    #[repr(C)]
    pub struct Layer {
        pub struct_size: usize,
        pub stack: *const c_char,
        pub number: i64,
        pub tensors: usize,
        pub bytes: u64,
    }

    #[repr(C)]
    pub struct RevisionInfo {
        pub struct_size: usize,
        pub model: *const c_char,
        pub name: *const c_char,
        pub digest: *const c_char,
        pub version: i64,
        pub tensors: usize,
        pub layers: usize,
        pub files: usize,
        pub bytes: u64,
    }

    #[repr(C)]
    pub struct LeaseInfo {
        pub struct_size: usize,
        pub tensors: usize,
        pub bytes: u64,
    }

    extern "C" {
        pub fn weightstore_last_message() -> *const c_char;
        pub fn weightstore_open(path: *const c_char, store: *mut *mut c_void) -> i32;
        pub fn weightstore_close(store: *mut c_void) -> i32;
        pub fn weightstore_resolve(store: *mut c_void, name: *const c_char, revision: *mut *mut c_void) -> i32;
        pub fn weightstore_revision_release(revision: *mut c_void) -> i32;
        pub fn weightstore_revision_describe(revision: *mut c_void, info: *mut RevisionInfo) -> i32;
        pub fn weightstore_layer_at(revision: *mut c_void, index: usize, layer: *mut Layer) -> i32;
        pub fn weightstore_prefetch_layers(revision: *mut c_void, first: i64, last: i64, tier: *const c_char) -> i32;
        pub fn weightstore_lease_layer(
            revision: *mut c_void, stack: *const c_char, layer: i64, tier: *const c_char, lease: *mut *mut c_void) -> i32;
        pub fn weightstore_lease_rest(revision: *mut c_void, tier: *const c_char, lease: *mut *mut c_void) -> i32;
        pub fn weightstore_lease_describe(lease: *mut c_void, info: *mut LeaseInfo) -> i32;
        pub fn weightstore_lease_tensor_at(lease: *mut c_void, index: usize, tensor: *mut Tensor) -> i32;
        pub fn weightstore_lease_release(lease: *mut c_void) -> i32;
    }
}

/// A structure of the interface, which begins with its size. All of its fields may be zero.
fn sized<T>() -> T {
    unsafe {
        let mut value: T = std::mem::zeroed();
        (&mut value as *mut T).cast::<usize>().write(size_of::<T>());
        value
    }
}

fn check(status: i32) -> Result<(), String> {
    if status == 0 {
        return Ok(());
    }
    Err(text(unsafe { c::weightstore_last_message() }))
}

fn text(pointer: *const c_char) -> String {
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// A handle that is released with the value.
struct Handle {
    pointer: *mut c_void,
    release: unsafe extern "C" fn(*mut c_void) -> i32,
}

impl Handle {
    fn new(
        release: unsafe extern "C" fn(*mut c_void) -> i32, make: impl FnOnce(*mut *mut c_void) -> i32,
    ) -> Result<Handle, String> {
        let mut pointer = ptr::null_mut();
        check(make(&mut pointer))?;
        Ok(Handle { pointer, release })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        unsafe { (self.release)(self.pointer) };
    }
}

/// Prints the tensors of a lease. Their bytes are valid as long as it lives.
fn print(lease: &Handle) -> Result<(), String> {
    let mut info: c::LeaseInfo = sized();
    check(unsafe { c::weightstore_lease_describe(lease.pointer, &mut info) })?;
    for index in 0..info.tensors {
        let mut tensor: c::Tensor = sized();
        check(unsafe { c::weightstore_lease_tensor_at(lease.pointer, index, &mut tensor) })?;
        let (shape, bytes): (&[i64], &[u8]) = unsafe {
            (
                if tensor.rank == 0 { &[] } else { slice::from_raw_parts(tensor.shape, tensor.rank as usize) },
                if tensor.data.is_null() { &[] } else { slice::from_raw_parts(tensor.data.cast(), tensor.bytes as usize) },
            )
        };
        let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        let shape: Vec<String> = shape.iter().map(i64::to_string).collect();
        println!("tensor {} {} {} {sum:016x}", text(tensor.name), text(tensor.dtype), shape.join(","));
    }
    Ok(())
}

fn run(path: &str, model: &str) -> Result<(), String> {
    let [path, model, ram] = [path, model, "ram"].map(|text| CString::new(text).expect("no zero in an argument"));
    let store = Handle::new(c::weightstore_close, |store| unsafe { c::weightstore_open(path.as_ptr(), store) })?;
    let revision = Handle::new(c::weightstore_revision_release, |revision| unsafe {
        c::weightstore_resolve(store.pointer, model.as_ptr(), revision)
    })?;
    let mut info: c::RevisionInfo = sized();
    check(unsafe { c::weightstore_revision_describe(revision.pointer, &mut info) })?;
    for index in 0..info.layers {
        let mut layer: c::Layer = sized();
        check(unsafe { c::weightstore_layer_at(revision.pointer, index, &mut layer) })?;
        if index + 1 < info.layers {
            let mut next: c::Layer = sized();
            check(unsafe { c::weightstore_layer_at(revision.pointer, index + 1, &mut next) })?;
            check(unsafe { c::weightstore_prefetch_layers(revision.pointer, next.number, next.number, ram.as_ptr()) })?;
        }
        print(&Handle::new(c::weightstore_lease_release, |lease| unsafe {
            c::weightstore_lease_layer(revision.pointer, layer.stack, layer.number, ram.as_ptr(), lease)
        })?)?;
    }
    let mut rest = ptr::null_mut();
    match unsafe { c::weightstore_lease_rest(revision.pointer, ram.as_ptr(), &mut rest) } {
        c::NOT_FOUND => Ok(()),
        status => {
            check(status)?;
            print(&Handle { pointer: rest, release: c::weightstore_lease_release })
        }
    }
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if arguments.len() != 3 {
        eprintln!("usage: engine STORE MODEL");
        process::exit(64);
    }
    if let Err(message) = run(&arguments[1], &arguments[2]) {
        eprintln!("{message}");
        process::exit(1);
    }
}
