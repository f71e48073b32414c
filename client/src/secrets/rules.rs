//! The rules: formats of credentials as those who issue them document them.
//!
//! Every rule starts from a literal that its format always holds, so that content is gone through
//! once for all rules together. Raise [`VERSION`] with every change that finds more.

/// The version of the table; what an older one passed is scanned again.
pub const VERSION: u32 = 1;

/// One format.
#[derive(Debug)]
pub(super) struct Rule {
    /// Names the rule in messages, in kebab case.
    pub(super) id: &'static str,
    /// Literals of which every match holds one.
    pub(super) literals: &'static [&'static str],
    /// How many bytes a match begins before its literal.
    pub(super) back: usize,
    /// Matched from there; the secret is the first group, or else all of it.
    pub(super) pattern: &'static str,
    /// What a match must be beside.
    pub(super) check: Check,
    /// Where the format is documented.
    pub(super) reference: &'static str,
}

/// What tells a secret from what only looks like one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Check {
    /// At least so many bits a character: no placeholder such as `ghp_xxxx`.
    Entropy(f32),
    /// The last six characters are the CRC32 of those before them, after a prefix of four.
    Crc32,
    /// The first part is a JSON object that names a signature algorithm.
    Jwt,
    /// A value that a human would not have typed as an example.
    Random,
    /// A password in a URL, unless of an example.
    UrlPassword,
}

const fn rule(
    id: &'static str,
    literals: &'static [&'static str],
    pattern: &'static str,
    check: Check,
    reference: &'static str,
) -> Rule {
    Rule { id, literals, back: 0, pattern, check, reference }
}

/// The table. Tokens end where no further character of theirs follows.
pub(super) const RULES: &[Rule] = &[
    rule(
        "github-token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        r"gh[pousr]_[A-Za-z0-9]{36}\b",
        Check::Crc32,
        "https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/",
    ),
    rule(
        "github-fine-grained-token",
        &["github_pat_"],
        r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
        Check::Entropy(3.5),
        "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github",
    ),
    rule(
        "gitlab-token",
        &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glsoat-", "glft-", "gloas-", "glimt-"],
        r"gl[a-z]{2,4}-[A-Za-z0-9_-]{20,}",
        Check::Entropy(3.0),
        "https://docs.gitlab.com/security/tokens/#token-prefixes",
    ),
    rule(
        "aws-access-key-id",
        &["AKIA", "ASIA"],
        r"\bA[KS]IA[A-Z2-7]{16}\b",
        Check::Entropy(3.2),
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html",
    ),
    rule(
        "aws-secret-access-key",
        &[
            "secret_access_key",
            "SECRET_ACCESS_KEY",
            "secretAccessKey",
            "SecretAccessKey",
            "aws_secret_key",
            "AWS_SECRET_KEY",
        ],
        r#"[A-Za-z_]{14,17}["']?[ \t]*(?:=>|[:=])[ \t]*["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|\z)"#,
        Check::Entropy(4.0),
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html",
    ),
    rule(
        "google-api-key",
        &["AIza"],
        r"\bAIza[A-Za-z0-9_-]{35}(?:[^A-Za-z0-9_-]|\z)",
        Check::Entropy(3.5),
        "https://cloud.google.com/docs/authentication/api-keys",
    ),
    rule(
        "google-oauth-client-secret",
        &["GOCSPX-"],
        r"GOCSPX-[A-Za-z0-9_-]{28}",
        Check::Entropy(3.5),
        "https://developers.google.com/identity/protocols/oauth2",
    ),
    rule(
        "google-oauth-access-token",
        &["ya29."],
        r"\bya29\.[A-Za-z0-9_-]{60,}",
        Check::Entropy(4.0),
        "https://developers.google.com/identity/protocols/oauth2",
    ),
    rule(
        "azure-storage-key",
        &["AccountKey="],
        r"AccountKey=[A-Za-z0-9+/]{86}==",
        Check::Entropy(4.5),
        "https://learn.microsoft.com/en-us/azure/storage/common/storage-configure-connection-string",
    ),
    Rule {
        id: "azure-client-secret",
        literals: &["Q~"],
        back: 4,
        pattern: r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?:[^A-Za-z0-9_~.-]|\z)",
        check: Check::Entropy(4.0),
        reference: "https://learn.microsoft.com/en-us/purview/sit-defn-azure-ad-client-secret",
    },
    Rule {
        id: "azure-devops-token",
        literals: &["AZDO"],
        back: 76,
        pattern: r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b",
        check: Check::Entropy(4.0),
        reference: "https://learn.microsoft.com/en-us/azure/devops/organizations/accounts/use-personal-access-tokens-to-authenticate",
    },
    rule(
        "slack-token",
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxe.", "xapp-"],
        r"(?:xox[bpars]-|xoxe(?:\.xox[bp])?-|xapp-)[0-9]+-[A-Za-z0-9-]{20,}",
        Check::Entropy(3.0),
        "https://docs.slack.dev/authentication/tokens",
    ),
    rule(
        "slack-webhook",
        &["hooks.slack.com/"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,}",
        Check::Entropy(3.5),
        "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
    ),
    rule(
        "stripe-key",
        &["sk_live_", "rk_live_", "whsec_"],
        r"(?:[sr]k_live_[A-Za-z0-9]{20,}|whsec_[A-Za-z0-9+/]{32,})",
        Check::Entropy(3.5),
        "https://docs.stripe.com/keys",
    ),
    rule(
        "npm-token",
        &["npm_"],
        r"\bnpm_[A-Za-z0-9]{36}\b",
        Check::Crc32,
        "https://github.blog/changelog/2021-09-23-npm-has-a-new-access-token-format/",
    ),
    rule(
        "pypi-token",
        &["pypi-AgE"],
        r"pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{50,}",
        Check::Entropy(3.5),
        "https://pypi.org/help/#apitoken",
    ),
    rule(
        "openai-key",
        &["sk-proj-", "sk-svcacct-", "sk-admin-"],
        r"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,}",
        Check::Entropy(4.0),
        "https://platform.openai.com/docs/api-reference/authentication",
    ),
    Rule {
        id: "openai-legacy-key",
        literals: &["T3BlbkFJ"],
        back: 23,
        pattern: r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}\b",
        check: Check::Entropy(4.0),
        reference: "https://platform.openai.com/docs/api-reference/authentication",
    },
    rule(
        "anthropic-key",
        &["sk-ant-"],
        r"\bsk-ant-[a-z]{3,5}[0-9]{2}-[A-Za-z0-9_-]{80,}",
        Check::Entropy(4.0),
        "https://docs.anthropic.com/en/api/admin-api/apikeys/get-api-key",
    ),
    rule(
        "hugging-face-token",
        &["hf_"],
        r"\bhf_[A-Za-z]{34}\b",
        Check::Entropy(3.8),
        "https://huggingface.co/docs/hub/security-tokens",
    ),
    rule(
        "private-key",
        &["-----BEGIN "],
        // A key of 32 bytes has some sixty characters; armour may have headers and escaped ends of lines.
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])*(?:[A-Za-z-]{1,24}: [^\n]{0,200}\n)*\s*([A-Za-z0-9+/=](?:\s|\\[nr]|[A-Za-z0-9+/=]){59,})",
        Check::Entropy(3.5),
        "https://www.rfc-editor.org/rfc/rfc7468",
    ),
    rule(
        "age-secret-key",
        &["AGE-SECRET-KEY-1"],
        r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
        Check::Entropy(3.5),
        "https://age-encryption.org/v1",
    ),
    rule(
        "json-web-token",
        &["eyJ"],
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
        Check::Jwt,
        "https://www.rfc-editor.org/rfc/rfc7519",
    ),
    rule(
        "sendgrid-key",
        &["SG."],
        r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?:[^A-Za-z0-9_-]|\z)",
        Check::Entropy(4.0),
        "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
    ),
    rule(
        "digitalocean-token",
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        r"do[opr]_v1_[a-f0-9]{64}\b",
        Check::Entropy(3.0),
        "https://docs.digitalocean.com/reference/api/create-personal-access-token/",
    ),
    rule(
        "docker-token",
        &["dckr_pat_", "dckr_oat_"],
        r"dckr_[po]at_[A-Za-z0-9_-]{27,}",
        Check::Entropy(3.5),
        "https://docs.docker.com/security/access-tokens/",
    ),
    rule(
        "crates-io-token",
        &["cio"],
        r"\bcio[A-Za-z0-9]{32}\b",
        Check::Random,
        "https://doc.rust-lang.org/cargo/reference/publishing.html",
    ),
    rule(
        "vault-token",
        &["hvs.", "hvb."],
        r"\bhv[sb]\.[A-Za-z0-9_-]{90,}",
        Check::Entropy(4.0),
        "https://developer.hashicorp.com/vault/docs/concepts/tokens",
    ),
    Rule {
        id: "terraform-token",
        literals: &[".atlasv1."],
        back: 14,
        pattern: r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}",
        check: Check::Entropy(4.0),
        reference: "https://developer.hashicorp.com/terraform/cloud-docs/users-teams-organizations/api-tokens",
    },
    rule(
        "url-with-password",
        &["://"],
        r#"://[A-Za-z0-9._%+-]{1,64}:([^\s:/@"'`<>{}$()\[\]*\\,;|]{8,128})@[A-Za-z0-9][A-Za-z0-9.-]*"#,
        Check::UrlPassword,
        "https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1",
    ),
    rule(
        "credential-assignment",
        &[
            "api_key", "API_KEY", "apikey", "APIKEY", "apiKey", "ApiKey", "api-key", "secret",
            "SECRET", "Secret", "token", "TOKEN", "Token", "passw", "PASSW", "Passw",
        ],
        // The name ends here; the value is quoted, or ends its line as in a file of variables.
        r#"(?:[Aa][Pp][Ii][_-]?[Kk][Ee][Yy]|(?i:secret(?:_?key)?|token|passwd|password))["']?[ \t]*(?::=|=>|[:=])[ \t]*(?:"([A-Za-z0-9+/=_.~!@#%^&*-]{16,200})"|'([A-Za-z0-9+/=_.~!@#%^&*-]{16,200})'|([A-Za-z0-9+/=_~-]{20,200})[ \t]*(?:\r?\n|\z))"#,
        Check::Random,
        "https://cwe.mitre.org/data/definitions/798.html",
    ),
];
