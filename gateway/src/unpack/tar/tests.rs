use proptest::prelude::{any, prop, proptest};
use tokio::io::AsyncReadExt as _;

use super::*;

fn header(name: &[u8], size: u64, kind: u8) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = kind;
    block[257..263].copy_from_slice(b"ustar\0");
    block[148..156].copy_from_slice(b"        ");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

fn entry(name: &[u8], bytes: &[u8], kind: u8) -> Vec<u8> {
    let mut whole = header(name, bytes.len() as u64, kind);
    whole.extend_from_slice(bytes);
    whole.resize(whole.len() + padding_of(bytes.len() as u64), 0);
    whole
}

async fn files(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, TarError> {
    let (mut tar, mut found) = (Tar::new(archive), Vec::new());
    while let Some(file) = tar.next().await? {
        let mut bytes = Vec::new();
        tar.reader().take(file.size).read_to_end(&mut bytes).await?;
        found.push((String::from_utf8(file.path).expect("text"), bytes));
    }
    Ok(found)
}

#[tokio::test]
async fn files_are_found_between_everything_else() {
    let long = "n".repeat(300);
    let pax = format!("{} path={long}x\n", 300 + 1 + 10);
    assert_eq!(pax.len(), 311);
    let mut prefixed = header(b"name", 1, b'0');
    prefixed[345..348].copy_from_slice(b"dir");
    prefixed[148..156].copy_from_slice(b"        ");
    let sum: u64 = prefixed.iter().map(|byte| u64::from(*byte)).sum();
    prefixed[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    prefixed.extend_from_slice(b"p");
    prefixed.resize(2 * BLOCK, 0);
    let archive = [
        entry(b"global", b"12 comment=\n", b'g'),
        entry(b"dir/", b"", b'5'),
        entry(b"a", b"first", b'0'),
        // A link says a size and has no bytes.
        header(b"link", 700, b'2'),
        entry(b"old/", b"", 0),
        entry(b"././@LongLink", format!("{long}\0").as_bytes(), b'L'),
        entry(b"cut", b"second", 0),
        entry(b"pax", pax.as_bytes(), b'x'),
        entry(b"cut", &[7; BLOCK], b'0'),
        prefixed,
        vec![0; 2 * BLOCK],
        b"rubbish behind the end".to_vec(),
    ];
    let expected = [
        ("a".to_owned(), b"first".to_vec()),
        (long.clone(), b"second".to_vec()),
        (format!("{long}x"), vec![7; BLOCK]),
        ("dir/name".to_owned(), b"p".to_vec()),
    ];
    assert_eq!(files(&archive.concat()).await.expect("an archive"), expected);
}

#[tokio::test]
async fn what_is_no_archive_is_refused() {
    let good = entry(b"a", b"bytes", b'0');
    let mut other_sum = good.clone();
    other_sum[0] = b'b';
    assert!(matches!(files(&other_sum).await, Err(TarError::Header)));
    assert!(matches!(files(b"no archive").await, Err(TarError::Broken(_))));
    let cut = [good, header(b"dir", 0, b'5')[..100].to_vec()].concat();
    assert!(matches!(files(&cut).await, Err(TarError::Broken(_))));
    let endless = header(b"long", 1 << 30, b'L');
    assert!(matches!(files(&endless).await, Err(TarError::Extension)));
    let sparse = entry(b"x", b"22 GNU.sparse.major=1\n", b'x');
    assert!(matches!(files(&sparse).await, Err(TarError::Sparse)));
}

#[test]
fn sizes_are_octal_or_bytes() {
    assert_eq!(number(b"00000000017\0"), Some(15));
    assert_eq!(number(b"   17 \0"), Some(15));
    assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(2 << 32));
    assert_eq!(number(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    assert_eq!(number(b"00000000018\0"), None);
    assert_eq!(number(&[0xff; 12]), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_stumble(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let mut archive = header(b"a", 3, bytes.first().copied().unwrap_or(b'x'));
        archive.extend(bytes);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        drop(runtime.block_on(files(&archive)));
    }
}
