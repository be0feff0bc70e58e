import Glibc

/// Shell patterns. The corresponding C function is `fnmatch`, without flags.
enum ShellPattern {
    static func matches(_ pattern: String, _ text: String) -> Bool { fnmatch(pattern, text, 0) == 0 }
}
