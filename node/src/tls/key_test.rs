use std::path::PathBuf;
use std::process::Command;

use super::*;

const PASSWORD: &str = "pässword with blanks";

/// A directory in which the program openssl makes keys.
struct Workshop {
    directory: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `openssl`, arguments split at blanks; `%` stands for the password.
    fn openssl(&self, arguments: &str) {
        let arguments = arguments.split(' ').map(|a| if a == "%" { PASSWORD } else { a });
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .expect("this test needs the program openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A key `NAME.key` by `genpkey` and a certificate `NAME.crt` for it.
    fn pair(&self, name: &str, options: &str) {
        self.openssl(&format!("genpkey {options} -out {name}.key"));
        self.certificate(name);
    }

    fn certificate(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -new -key {name}.key -out {name}.crt -days 30 -subj /CN={name}"
        ));
    }

    /// Puts files together into one certificate file.
    fn file(&self, name: &str, parts: &[&str]) -> CertificateFile {
        let content: Vec<u8> =
            parts.iter().flat_map(|part| std::fs::read(self.path(part)).expect(part)).collect();
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
        CertificateFile { path, password: None }
    }

    /// Checks one encrypted form: right, wrong and missing password.
    fn check_encrypted(&self, name: &str, key: &str) {
        let file = self.file(&format!("{key}.pem"), &[&format!("{name}.crt"), key]);
        let with = |password: &str| CertificateFile {
            password: Some(password.to_owned()),
            ..file.clone()
        };
        let loaded = load(&with(PASSWORD)).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(loaded.certified.cert.len(), 1, "{key}");
        assert!(loaded.warnings.is_empty(), "{key}: {:?}", loaded.warnings);
        for wrong in ["wrong", "", "pässword with blanks "] {
            assert_eq!(fault(&with(wrong)), KeyFault::WrongPassword, "{key} with {wrong:?}");
        }
        assert_eq!(fault(&file), KeyFault::PasswordNeeded, "{key}");
    }
}

fn fault(file: &CertificateFile) -> KeyFault {
    match load(file) {
        Err(TlsError::Key { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn plain_keys_of_every_form_load() {
    let shop = Workshop::new();
    shop.pair("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048");
    shop.openssl("rsa -in rsa.key -traditional -out rsa.pkcs1");
    shop.pair("p256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    shop.openssl("ec -in p256.key -out p256.sec1");
    shop.openssl("ecparam -name prime256v1 -genkey -out params.key");
    shop.certificate("params");
    shop.pair("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384");
    shop.pair("p521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521");
    shop.pair("ed", "-algorithm ED25519");
    let check = |parts: &[&str]| {
        let loaded = load(&shop.file("file.pem", parts)).expect(parts[0]);
        assert_eq!(loaded.certified.cert.len(), 1);
        assert!(loaded.certified.keys_match().is_ok(), "{parts:?}");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    };
    check(&["rsa.key", "rsa.crt"]);
    check(&["rsa.crt", "rsa.pkcs1"]);
    check(&["p256.crt", "p256.key"]);
    check(&["p256.sec1", "p256.crt"]);
    check(&["params.key", "params.crt"]);
    check(&["p384.crt", "p384.key"]);
    check(&["p521.crt", "p521.key"]);
    check(&["ed.crt", "ed.key"]);
}

#[test]
fn keys_encrypted_the_old_way_need_their_password() {
    let shop = Workshop::new();
    shop.pair("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048");
    shop.pair("ec", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    for cipher in ["des", "des3", "aes128", "aes192", "aes256"] {
        // Single DES lives in OpenSSL's legacy provider.
        let common = format!("-provider legacy -provider default -{cipher} -passout");
        for (name, program) in [("rsa", "rsa -traditional"), ("ec", "ec")] {
            let key = format!("{name}.{cipher}");
            let out = format!("-in {name}.key -out {key}");
            let arguments = format!("{program} {out} {common} file:password");
            std::fs::write(shop.path("password"), PASSWORD).unwrap();
            shop.openssl(&arguments);
            shop.check_encrypted(name, &key);
        }
    }
}

#[test]
fn keys_encrypted_in_pkcs8_need_their_password() {
    let shop = Workshop::new();
    std::fs::write(shop.path("password"), PASSWORD).unwrap();
    shop.pair("ec", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    let forms = [
        "-v2 aes-256-cbc",
        "-v2 aes-128-cbc -v2prf hmacWithSHA512",
        "-v2 aes-256-cbc -v2prf hmacWithSHA1",
        "-v2 des3",
        "-scrypt -scrypt_N 1024",
    ];
    for (index, form) in forms.iter().enumerate() {
        let key = format!("form{index}");
        let files = format!("-in ec.key -out {key} -passout file:password");
        shop.openssl(&format!("pkcs8 -topk8 {files} {form}"));
        shop.check_encrypted("ec", &key);
    }
}

#[test]
fn encryption_that_is_too_old_is_named_with_the_way_out() {
    let shop = Workshop::new();
    shop.pair("ec", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    for scheme in ["PBE-SHA1-3DES", "PBE-MD5-DES"] {
        shop.openssl(&format!(
            "pkcs8 -topk8 -in ec.key -out old -passout pass:x -v1 {scheme} \
             -provider legacy -provider default"
        ));
        let file = shop.file("old.pem", &["ec.crt", "old"]);
        let file = CertificateFile { password: Some("x".to_owned()), ..file };
        assert_eq!(fault(&file), KeyFault::UnsupportedEncryption(scheme.to_owned()));
        let text = load(&file).unwrap_err().to_string();
        assert!(text.contains("old.pem: ") && text.contains("openssl pkcs8 -topk8"), "{text}");
    }
}

#[test]
fn keys_that_cannot_serve_are_refused_by_name() {
    let shop = Workshop::new();
    let check = |name: &str, options: &str, expected: KeyFault| {
        shop.pair(name, options);
        let parts = [format!("{name}.crt"), format!("{name}.key")];
        let file = shop.file("file.pem", &[&parts[0], &parts[1]]);
        assert_eq!(fault(&file), expected, "{name}");
    };
    let kind = |name: &str| KeyFault::UnsupportedKind(name.to_owned());
    check("small", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024", KeyFault::TooSmall(1024));
    check("pss", "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048", kind("RSA-PSS-only"));
    check("koblitz", "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", kind("secp256k1"));
    check("ed448", "-algorithm ED448", kind("Ed448"));
    shop.openssl("ec -in koblitz.key -out koblitz.sec1");
    let file = shop.file("file.pem", &["koblitz.crt", "koblitz.sec1"]);
    assert_eq!(fault(&file), kind("secp256k1"));
    shop.openssl("rsa -in small.key -traditional -out small.pkcs1");
    let file = shop.file("file.pem", &["small.crt", "small.pkcs1"]);
    assert_eq!(fault(&file), KeyFault::TooSmall(1024));
}

#[test]
fn incomplete_files_are_refused_by_what_they_lack() {
    let shop = Workshop::new();
    shop.pair("one", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    shop.pair("two", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    std::fs::write(shop.path("text"), "nothing of PEM here\n").unwrap();
    std::fs::write(
        shop.path("torn"),
        "-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let check = |parts: &[&str], expected: &str| {
        let text = load(&shop.file("file.pem", parts)).unwrap_err().to_string();
        assert!(text.contains("file.pem: ") && text.contains(expected), "{parts:?}: {text}");
    };
    check(&["one.crt"], "no private key");
    check(&["one.key"], "no certificate");
    check(&["text"], "no private key");
    check(&["torn"], "not a PEM file");
    check(&["one.crt", "two.key"], "does not belong to the certificate");
    check(&["one.crt", "one.key", "two.key"], "more than one private key");
    let missing = CertificateFile { path: shop.path("missing"), password: None };
    assert!(load(&missing).unwrap_err().to_string().contains("missing: No such file"));
}

#[test]
fn a_key_that_others_can_read_is_warned_of() {
    let shop = Workshop::new();
    shop.pair("one", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    let file = shop.file("file.pem", &["one.crt", "one.key"]);
    let check = |mode: u32, expected: bool| {
        let mode_bits = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&file.path, mode_bits).unwrap();
        let warnings = load(&file).expect("loads").warnings;
        assert_eq!(!warnings.is_empty(), expected, "{mode:o}: {warnings:?}");
    };
    check(0o600, false);
    check(0o640, false);
    check(0o644, true);
    check(0o660, true);
}

#[test]
fn a_chain_in_any_order_is_sent_in_the_right_one() {
    let authority = rcgen_authority("root");
    let (middle, middle_pem) = issued_authority("middle", &authority);
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["mx.example".to_owned()]).unwrap();
    let leaf = parameters.signed_by(&key, &middle).unwrap();
    let check = |content: String, warnings: usize| {
        let loaded = parse(content.as_bytes(), None).expect("loads");
        let order: Vec<_> = loaded
            .certified
            .cert
            .iter()
            .map(|der| certificate::parse(der).unwrap().subject().to_string())
            .collect();
        assert_eq!(order, ["CN=rcgen self signed cert", "CN=middle"]);
        assert_eq!(loaded.warnings.len(), warnings);
    };
    let (leaf, key) = (leaf.pem(), key.serialize_pem());
    check(format!("{leaf}{middle_pem}{key}"), 0);
    check(format!("{key}{leaf}{middle_pem}"), 0);
    check(format!("{middle_pem}{key}{leaf}"), 1);
}

fn authority_parameters(name: &str) -> rcgen::CertificateParams {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters
}

fn rcgen_authority(name: &str) -> rcgen::Issuer<'static, rcgen::KeyPair> {
    rcgen::Issuer::new(authority_parameters(name), rcgen::KeyPair::generate().unwrap())
}

fn issued_authority(
    name: &str,
    by: &rcgen::Issuer<'static, rcgen::KeyPair>,
) -> (rcgen::Issuer<'static, rcgen::KeyPair>, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = authority_parameters(name).signed_by(&key, by).unwrap();
    (rcgen::Issuer::new(authority_parameters(name), key), certificate.pem())
}
