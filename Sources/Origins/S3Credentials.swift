import Foundation
import WeightStore

/// Credentials and location of an object store: from the environment, or from `~/.aws/credentials` and `~/.aws/config`,
/// as in other tools (`AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_ENDPOINT_URL_S3` …).
struct S3Credentials: Sendable {
    var accessKey: String
    var secretKey: String
    var sessionToken: String?
    var region: String
    /// The service's URL; nil for Amazon's.
    var endpoint: String?

    /// - Throws: ``FetchError/badCredentials(url:reason:)`` if there are none, or if they cannot be sent.
    static func find(for url: String, _ environment: [String: String] = ProcessInfo.processInfo.environment) throws
        -> S3Credentials
    {
        let profile = environment["AWS_PROFILE"] ?? environment["AWS_DEFAULT_PROFILE"] ?? "default"
        let home = environment["HOME"] ?? ""
        let credentials = section(
            profile, environment["AWS_SHARED_CREDENTIALS_FILE"] ?? home + "/.aws/credentials")
        let configuration = section(
            profile == "default" ? profile : "profile \(profile)",
            environment["AWS_CONFIG_FILE"] ?? home + "/.aws/config")
        func value(_ variables: [String], _ name: String) -> String? {
            for variable in variables {
                if let value = environment[variable], !value.isEmpty { return value }
            }
            return credentials[name] ?? configuration[name]
        }
        guard let access = value(["AWS_ACCESS_KEY_ID"], "aws_access_key_id"),
            let secret = value(["AWS_SECRET_ACCESS_KEY"], "aws_secret_access_key")
        else {
            throw FetchError.badCredentials(
                url: url,
                reason: "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials")
        }
        let session = value(["AWS_SESSION_TOKEN"], "aws_session_token")
        try HubToken.check(access, for: url, name: "access key")
        try HubToken.check(session, for: url, name: "session token")
        return S3Credentials(
            accessKey: access, secretKey: secret, sessionToken: session,
            region: value(["AWS_REGION", "AWS_DEFAULT_REGION"], "region") ?? "us-east-1",
            endpoint: value(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"], "endpoint_url"))
    }

    /// The names and values of one section of a file; empty if the file does not exist.
    private static func section(_ name: String, _ path: String) -> [String: String] {
        // An unreadable file counts as empty.
        guard let text = (try? FileSystem.read(path, limit: 1 << 20)).map({ String(decoding: $0, as: UTF8.self) })
        else { return [:] }
        var values: [String: String] = [:]
        var isInside = false
        for line in text.split(whereSeparator: \.isNewline) {
            let line = line.trimmingCharacters(in: .whitespaces)
            if line.hasPrefix("[") {
                isInside = line == "[\(name)]"
            } else if isInside, let equals = line.firstIndex(of: "="), !line.hasPrefix("#") {
                values[line[..<equals].trimmingCharacters(in: .whitespaces)] =
                    line[line.index(after: equals)...].trimmingCharacters(in: .whitespaces)
            }
        }
        return values
    }
}
