import Files
import Support

/// Files that are never imported, from whatever source: a server would hand them out with the model.
enum ExcludedFile {
    /// Why a file or a directory is not imported; nil if it is.
    ///
    /// - Parameters:
    ///   - path: the path in the source.
    ///   - target: the path that a link leads to, in the source.
    static func reason(_ path: String, target: String? = nil, isDirectory: Bool) -> String? {
        let name = FileSystem.name(of: path)
        if name == ".git" { return "version control" }
        if path == ".cache" { return "metadata of a downloader" }
        if name.hasByteSuffix(".incomplete") { return "download not finished" }
        let parts = target?.byteParts("/") ?? []
        let leadsToSecret = parts.indices.contains { index in
            isSecret(parts[index], isDirectory: isDirectory || index < parts.count - 1)
        }
        return leadsToSecret || isSecret(name, isDirectory: isDirectory) ? secret : nil
    }

    /// The reason for a secret.
    static let secret = "a token, a key or another secret, which is never imported"

    /// Whether a file or a directory of that name holds secrets.
    static func isSecret(_ name: String, isDirectory: Bool) -> Bool {
        let name = name.lowercased()
        if secrets.contains(name) || name.hasBytePrefix(".env.") { return true }
        if isDirectory { return false }
        return secretFiles.contains(name) || keySuffixes.contains { name.hasByteSuffix($0) }
    }

    /// Secrets as files or directories.
    private static let secrets: Set<String> = [
        ".env", ".envrc", ".netrc", "_netrc", ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store",
        ".git-credentials", ".pypirc", ".npmrc", ".pgpass", ".my.cnf", ".htpasswd", ".s3cfg", ".boto", ".vault-token",
    ]
    /// A directory may have these names and hold no secrets.
    private static let secretFiles: Set<String> = [
        "token", "stored_tokens", "id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk",
    ]
    private static let keySuffixes = [".pem", ".key", ".p12", ".pfx", ".ppk"]

    /// Whether a file is a leftover of a desktop or an interpreter: one of its parts has such a name.
    static func isLitter(_ path: String) -> Bool {
        path.byteParts("/").contains { litter.contains($0) || $0.hasBytePrefix("._") }
    }

    private static let litter: Set<String> = [
        ".DS_Store", ".AppleDouble", ".Spotlight-V100", ".Trashes", ".fseventsd", "Thumbs.db", "desktop.ini",
        "__pycache__", ".ipynb_checkpoints",
    ]
}
