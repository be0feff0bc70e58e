import Glibc

/// Patterns as a shell has them. The corresponding C function is `fnmatch`, without flags.
enum ShellPattern {
    static func matches(_ pattern: String, _ text: String) -> Bool { fnmatch(pattern, text, 0) == 0 }
}
