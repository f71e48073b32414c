//! Small files of the state directory: written whole or not at all, for their owner alone.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use tempfile::NamedTempFile;

use super::StoreError;

/// Puts a file in place of whatever has its name; durable when it returns.
///
/// # Errors
/// When the system refuses; then the old file is still there.
pub fn write(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    replace(path, directory, content).map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::DiskFull { directory: directory.to_owned() }
        }
        _ => StoreError::Io { act: "write", path: path.to_owned(), source },
    })
}

fn replace(path: &Path, directory: &Path, content: &[u8]) -> io::Result<()> {
    // Made with mode 0600.
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use super::*;

    #[test]
    fn a_file_is_replaced_and_private() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("address");
        write(&path, b"first").expect("write");
        write(&path, b"second").expect("write");
        assert_eq!(fs::read(&path).expect("read"), b"second");
        assert_eq!(fs::metadata(&path).expect("file").mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1, "nothing is left");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = write(Path::new("/nonexistent/address"), b"").expect_err("there is no room");
        assert_eq!(error.to_string(), "cannot write /nonexistent/address");
    }
}
