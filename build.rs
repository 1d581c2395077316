//! Packs the web console for `src/admin/page.rs`: every file below `src/admin/console`, compressed, and the table of
//! them.

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "http")]
    console::pack()?;
    Ok(())
}

#[cfg(feature = "http")]
mod console {
    use std::{
        env, fmt, fs,
        io::{self, Write},
        path::{Path, PathBuf},
    };

    const CONSOLE: &str = "src/admin/console";

    pub fn pack() -> io::Result<()> {
        println!("cargo::rerun-if-changed={CONSOLE}");
        let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
        let mut files = Vec::new();
        collect(Path::new(CONSOLE), "", &mut files)?;
        files.sort();
        let mut table = String::from("[\n");
        for (number, name) in files.iter().enumerate() {
            let bytes = fs::read(Path::new(CONSOLE).join(name))?;
            let packed = out.join(format!("console-{number}.gz"));
            let is_own = !name.starts_with("vendor/") && (name.ends_with(".js") || name.ends_with(".css"));
            fs::write(&packed, compress(&if is_own { bare(&bytes) } else { bytes.clone() })?)?;
            let mut check = flate2::Crc::new();
            check.update(&bytes);
            let tag = format!("{:08x}-{:x}", check.sum(), bytes.len());
            let entry: &dyn fmt::Debug = &packed;
            table += &format!("    File {{ name: {name:?}, tag: {tag:?}, packed: include_bytes!({entry:?}) }},\n");
        }
        fs::write(out.join("console.rs"), table + "]\n")
    }

    /// The names of all files in a folder, relative to the first one.
    fn collect(folder: &Path, below: &str, files: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            match entry.file_type()?.is_dir() {
                true => collect(&entry.path(), &format!("{name}/"), files)?,
                false => files.push(name),
            }
        }
        Ok(())
    }

    /// A script or style sheet of ours without indentation, blank lines and lines that are a comment: a browser has no
    /// use for them. No text in it goes over several lines, but those of `html`, which leaves out such blanks.
    fn bare(bytes: &[u8]) -> Vec<u8> {
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_start);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with(b"//"))
            .flat_map(|line| [line, b"\n"].concat())
            .collect()
    }

    fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes)?;
        encoder.finish()
    }
}
