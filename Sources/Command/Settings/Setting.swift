import Foundation
import Glibc
import Logging
import WeightStore

/// A setting of the tool: a key of the configuration files, and the environment variable that it stands for.
///
/// An option of a command wins over the environment, the environment over the files, the files over the default. The values
/// of the files are put into the environment when the tool starts, so that every part of the program reads them there.
struct Setting {
    /// What values a setting has.
    enum Kind {
        case text
        case secret
        case flag
        case number(ClosedRange<Int>)
        /// One of these texts.
        case choice([String])
        /// A size, or a share of the memory.
        case budget

        var isSecret: Bool { if case .secret = self { true } else { false } }
    }

    /// The table and the name, separated by a dot.
    let key: String
    /// The environment variables that give the value, the first one first.
    let variables: [String]
    let kind: Kind
    /// The value without any; empty if there is none.
    let standard: String
    /// What the setting means.
    let summary: String

    private init(
        _ key: String, _ variables: String..., kind: Kind = .text, standard: String = "", meaning summary: String
    ) {
        self.key = key
        self.variables = variables
        self.kind = kind
        self.standard = standard
        self.summary = summary
    }

    /// All settings.
    static let all: [Setting] = [
        Setting(
            "store.path", "WEIGHTSTORE_HOME", standard: "~/.local/share/weightstore", meaning: "the store's directory"),
        Setting("serve.host", "WEIGHTSTORE_HOST", standard: "127.0.0.1", meaning: "the address of serve and node"),
        Setting("serve.port", "WEIGHTSTORE_PORT", kind: .number(0...65535), standard: "8000", meaning: "their port"),
        Setting(
            "serve.admin-port", "WEIGHTSTORE_ADMIN_PORT", kind: .number(0...65535),
            meaning: "the port for metrics and state alone"),
        Setting("serve.upstream", "WEIGHTSTORE_UPSTREAM", meaning: "the hub from which serve fetches"),
        Setting("serve.token-file", "WEIGHTSTORE_TOKEN_FILE", meaning: "the tokens that clients must send"),
        Setting("serve.tls-certificate", "WEIGHTSTORE_TLS_CERTIFICATE", meaning: "the certificate of serve and node"),
        Setting("serve.tls-key", "WEIGHTSTORE_TLS_KEY", meaning: "its private key"),
        Setting(
            "log.format", "WEIGHTSTORE_LOG_FORMAT", kind: .choice(["text", "json"]), standard: "text",
            meaning: "the log of services: text or json"),
        Setting(
            "log.level", "WEIGHTSTORE_LOG_LEVEL", kind: .choice(Logger.Level.allCases.map(\.rawValue)),
            standard: "info", meaning: "the least level in the log"),
        Setting("fleet.origin", "WEIGHTSTORE_ORIGIN", meaning: "the fleet's bucket"),
        Setting("fleet.etcd", "WEIGHTSTORE_ETCD", meaning: "the addresses of etcd"),
        Setting("fleet.etcd-user", "ETCDCTL_USER", kind: .secret, meaning: "user:password of etcd"),
        Setting(
            "fleet.token", "WEIGHTSTORE_TOKEN", kind: .secret, meaning: "the token that servers accept, and peers send"),
        Setting("memory.ram-budget", "WEIGHTSTORE_RAM_BUDGET", kind: .budget, meaning: "the limit of the tier ram"),
        Setting("memory.host-budget", "WEIGHTSTORE_HOST_BUDGET", kind: .budget, meaning: "the limit of the tier host"),
        Setting("memory.gpu-budget", "WEIGHTSTORE_GPU_BUDGET", kind: .budget, meaning: "the limit of each GPU's tier"),
        Setting("memory.cuda-library", "WEIGHTSTORE_CUDA_LIBRARY", meaning: "another libcuda.so.1"),
        Setting(
            "hub.endpoint", "HF_ENDPOINT", standard: "https://huggingface.co",
            meaning: "the hub of models without an origin"),
        Setting("hub.token", "HF_TOKEN", kind: .secret, meaning: "the hub's token"),
        Setting("hub.token-file", "HF_TOKEN_PATH", meaning: "a file with the hub's token"),
        Setting("hub.home", "HF_HOME", standard: "~/.cache/huggingface", meaning: "the directory with the file token"),
        Setting(
            "s3.endpoint", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", meaning: "an object store that is not Amazon's"),
        Setting("s3.region", "AWS_REGION", "AWS_DEFAULT_REGION", meaning: "the region"),
        Setting(
            "s3.profile", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", standard: "default", meaning: "the profile in the files"
        ),
        Setting(
            "s3.credentials-file", "AWS_SHARED_CREDENTIALS_FILE", standard: "~/.aws/credentials",
            meaning: "the credentials"),
        Setting(
            "s3.config-file", "AWS_CONFIG_FILE", standard: "~/.aws/config", meaning: "the configuration of profiles"),
        Setting("s3.access-key-id", "AWS_ACCESS_KEY_ID", kind: .secret, meaning: "the id of the key"),
        Setting("s3.secret-access-key", "AWS_SECRET_ACCESS_KEY", kind: .secret, meaning: "the key"),
        Setting("s3.session-token", "AWS_SESSION_TOKEN", kind: .secret, meaning: "the token of temporary keys"),
        Setting(
            "network.insecure", "WEIGHTSTORE_INSECURE", kind: .flag, standard: "false",
            meaning: "plain http to any machine"),
        Setting("network.http-proxy", "http_proxy", "HTTP_PROXY", kind: .secret, meaning: "the proxy of http"),
        Setting("network.https-proxy", "https_proxy", "HTTPS_PROXY", kind: .secret, meaning: "the proxy of https"),
        Setting("network.all-proxy", "all_proxy", "ALL_PROXY", kind: .secret, meaning: "the proxy of both"),
        Setting("network.no-proxy", "no_proxy", "NO_PROXY", meaning: "hosts without a proxy"),
        Setting("network.ca-file", "SSL_CERT_FILE", meaning: "certificates of additional authorities"),
        Setting("network.ca-directory", "SSL_CERT_DIR", meaning: "a directory of them"),
    ]

    /// The variable that is set, and its value; nil if none is, or it is empty.
    var fromEnvironment: (variable: String, value: String)? {
        for variable in variables {
            if let value = Self.environment(variable) { return (variable, value) }
        }
        return nil
    }

    /// The value of a variable; nil if it is not set, or empty.
    static func environment(_ variable: String) -> String? {
        ProcessInfo.processInfo.environment[variable].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// All settings by their keys.
    static let known = Dictionary(uniqueKeysWithValues: all.map { ($0.key, $0) })

    /// The text for the environment of a value in a file.
    ///
    /// - Throws: the form that the value must have.
    func text(of value: SettingsFile.Value) throws(Unusable) -> String {
        switch (kind, value) {
        case (.flag, .flag(let flag)): return flag ? "1" : "0"
        case (.number(let range), .number(let number)) where range.contains(number): return "\(number)"
        case (.choice(let values), .text(let text)) where values.contains(text): return text
        case (.budget, .text(let text)) where TierBudget.parse(text) != nil: return text
        case (.text, .text(let text)), (.secret, .text(let text)): return text
        case (.text, .list(let items)), (.secret, .list(let items)): return items.joined(separator: ",")
        case (_, .other(let form)): throw Unusable(expected: "\(expected), not \(form)")
        default: throw Unusable(expected: expected)
        }
    }

    /// As ``text(of:)``, with the place of the value in the error.
    ///
    /// - Throws: ``StorageError/invalid(what:value:reason:)``.
    func text(of entry: SettingsFile.Entry, in file: SettingsFile) throws -> String {
        do throws(Unusable) {
            return try text(of: entry.value)
        } catch {
            throw StorageError.invalid(
                what: "configuration", value: "\(file.path), line \(entry.line)",
                reason: "\(key) must be \(error.expected)")
        }
    }

    /// The form of a value in a file.
    private var expected: String {
        switch kind {
        case .text, .secret: "a text in quotes"
        case .flag: "true or false"
        case .number(let range): "a number between \(range.lowerBound) and \(range.upperBound)"
        case .choice(let values): "one of \(values.joined(separator: ", "))"
        case .budget: "a size or a share, as \"8GiB\" or \"50%\""
        }
    }

    /// A value of another form.
    struct Unusable: Error {
        let expected: String
    }
}
