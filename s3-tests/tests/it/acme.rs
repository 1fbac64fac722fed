//! Certificates by ACME: obtained, shown, kept and renewed, against an authority and a name server of our own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drystone_s3_tests::acme_server::{AcmeServer, NameServer};
use drystone_s3_tests::client::Request;
use drystone_s3_tests::cluster::{Cluster, Options, files};
use drystone_s3_tests::tls::{Shown, ask};
use tokio::time::sleep;

const ZONE: &str = "drystone.test";
const DOMAIN: &str = "s3.drystone.test";
const KEY: (&str, &[u8]) = ("acme-key", b"a key that both ends of it know.");
/// How long a certificate may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(90 * 24 * 3600);

/// A world with an authority and a name server.
struct World {
    names: NameServer,
    authority: AcmeServer,
    dir: tempfile::TempDir,
}

impl World {
    async fn new(life: Duration) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let names = NameServer::start(ZONE, KEY, Some(dir.path().join("records"))).await;
        let authority = AcmeServer::start(dir.path(), &names, life).await;
        Self { names, authority, dir }
    }

    fn options(&self) -> Options {
        Options::new()
            .flag("--acme-domain", DOMAIN)
            .flag("--acme-directory", &self.authority.directory())
            .flag("--acme-ca", &self.authority.roots().display().to_string())
            .flag("--acme-email", "operator@drystone.test")
            .flag("--acme-dns-wait", "100ms")
    }

    async fn send(
        &self,
        cluster: &Cluster,
        host: &str,
        request: Request,
    ) -> std::io::Result<Shown> {
        // The last header, and not a signed one.
        let raw = request.into_raw().trim_end().to_owned() + "\r\nconnection: close\r\n\r\n";
        ask(cluster.s3(), host, self.authority.roots(), raw.as_bytes()).await
    }

    /// What is shown once the certificate is one that clients trust.
    async fn trusted(&self, cluster: &Cluster, host: &str) -> Shown {
        let begun = Instant::now();
        loop {
            let request = cluster.client().with_host(host).get("/");
            match self.send(cluster, host, request).await {
                Ok(shown) => return shown,
                Err(error) => {
                    assert!(
                        begun.elapsed() < PATIENCE,
                        "no trusted certificate: {error}\n{}",
                        log(cluster)
                    );
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

fn log(cluster: &Cluster) -> String {
    fs::read_to_string(cluster.gateway_dir().join("drystone.log")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_is_proven_by_signed_updates_and_renewed_without_a_restart() {
    let world = World::new(Duration::from_secs(15)).await;
    let secret = STANDARD.encode(KEY.1);
    let cluster = world
        .options()
        .flag("--acme-domain", &format!("*.{DOMAIN}"))
        .flag("--acme-dns-server", &world.names.address().to_string())
        .env("DRYSTONE_ACME_TSIG", &format!("{}:{secret}", KEY.0))
        .flag("--domain", DOMAIN)
        .up()
        .await;
    let first = world.trusted(&cluster, DOMAIN).await;
    assert!(first.answer.starts_with("HTTP/1.1 200"), "{}", first.answer);

    // A bucket in the name, which only the wildcard covers.
    let s3 = cluster.client();
    let made = world.send(&cluster, DOMAIN, s3.with_host(DOMAIN).put("/photos")).await;
    assert!(made.expect("an answer").answer.starts_with("HTTP/1.1 200"));
    let host = format!("photos.{DOMAIN}");
    let bucket = s3.with_host(&host);
    let put = bucket.put("/empty").header("content-length", "0");
    let put = world.send(&cluster, &host, put).await;
    assert!(put.expect("an answer").answer.starts_with("HTTP/1.1 200"));
    let got = world.send(&cluster, &host, bucket.get("/empty")).await.expect("an answer");
    assert!(got.answer.starts_with("HTTP/1.1 200"), "{}", got.answer);

    let begun = Instant::now();
    let second = loop {
        let now = world.trusted(&cluster, DOMAIN).await;
        if now.certificate != first.certificate {
            break now;
        }
        assert!(begun.elapsed() < PATIENCE, "not renewed:\n{}", log(&cluster));
        sleep(Duration::from_millis(200)).await;
    };
    assert!(second.answer.starts_with("HTTP/1.1 200"));
    assert!(world.authority.issued() >= 2);
    let (left, ever) = world.names.records();
    assert!(ever >= 4, "two names, twice: {ever}");
    assert!(left <= 2, "what was proven is taken away again: {left}");
    // The keys are nobody else's, and no secret is told.
    let kept = files(&cluster.gateway_dir().join("acme"));
    assert!(kept.len() >= 2, "{kept:?}");
    for file in kept {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert!(!log(&cluster).contains(&secret) && !cluster.gateway.log().contains(&secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_proven_at_the_s3_port_and_a_restart_orders_nothing() {
    let world = World::new(LONG).await;
    let mut cluster = world.options().up().await;
    world.authority.look_at(cluster.s3());
    let first = world.trusted(&cluster, DOMAIN).await;
    assert!(first.answer.starts_with("HTTP/1.1 200"), "{}", first.answer);
    cluster.terminate_gateway(PATIENCE).await;
    cluster.restart_gateway().await;
    let again = world.trusted(&cluster, DOMAIN).await;
    assert_eq!(again.certificate, first.certificate);
    assert_eq!(world.authority.issued(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_sets_the_records_where_the_operator_has_one() {
    let world = World::new(LONG).await;
    let hook = world.dir.path().join("hook.sh");
    let records = world.dir.path().join("records");
    let script = format!(
        "#!/bin/sh\nset -e\nf='{}'\necho \"$1\" >> \"$f.verbs\"\n\
         case \"$1\" in\npresent) echo \"$2 $3\" >> \"$f\";;\n\
         cleanup) grep -vxF \"$2 $3\" \"$f\" > \"$f.new\" || true; mv \"$f.new\" \"$f\";;\n*) exit 2;;\nesac\n",
        records.display()
    );
    fs::write(&hook, script).expect("written");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("set");
    let cluster = world.options().flag("--acme-dns-exec", &hook.display().to_string()).up().await;
    let shown = world.trusted(&cluster, DOMAIN).await;
    assert!(shown.answer.starts_with("HTTP/1.1 200"), "{}", shown.answer);
    let verbs = fs::read_to_string(world.dir.path().join("records.verbs")).expect("called");
    assert_eq!(verbs, "present\ncleanup\n");
    assert_eq!(fs::read_to_string(records).expect("there"), "");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_says_when_to_renew_and_to_whom_an_account_is_bound() {
    let world = World::new(LONG).await;
    let secret = b"a key that the authority gave";
    world.authority.bind("kid-7", secret);
    world.authority.suggest((24 * 3600, 48 * 3600));
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret);
    let binding = format!("kid-7:{encoded}");
    let mut cluster = world.options().env("DRYSTONE_ACME_EAB", &binding).up().await;
    world.authority.look_at(cluster.s3());
    let first = world.trusted(&cluster, DOMAIN).await;
    assert!(world.authority.replaced().is_empty());
    assert!(!log(&cluster).contains(&encoded) && !cluster.gateway.log().contains(&encoded));

    // Its certificate has ninety days to live; the authority wants it replaced all the same.
    world.authority.suggest((-7200, -3600));
    cluster.terminate_gateway(PATIENCE).await;
    cluster.restart_gateway().await;
    let begun = Instant::now();
    loop {
        let now = world.trusted(&cluster, DOMAIN).await;
        if now.certificate != first.certificate {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "not renewed:\n{}", log(&cluster));
        sleep(Duration::from_millis(200)).await;
    }
    let replaced = world.authority.replaced();
    assert_eq!(replaced.len(), 1, "{replaced:?}");
    assert!(replaced[0].split('.').count() == 2, "{replaced:?}");
    assert_eq!(world.authority.issued(), 2);
}
