/// The version of this program.
package enum ProgramVersion {
    /// Major, minor and patch number.
    package static let current = "0.1.0"
}
