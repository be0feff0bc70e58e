/// The treatment of files that break a rule of their format.
public struct ReadingRules: Sendable, Hashable {
    /// Whether a violation with which a file is usable (``FileLayout/warnings``) is an error, too.
    public var isStrict: Bool

    /// Whether a file that cannot be read in its format is kept without tensors, as a file of the format
    /// ``FileFormat/other``.
    public var keepsOpaque: Bool

    /// Creates rules; by default, only violations with which a file is not usable are errors.
    public init(isStrict: Bool = false, keepsOpaque: Bool = false) {
        self.isStrict = isStrict
        self.keepsOpaque = keepsOpaque
    }
}
