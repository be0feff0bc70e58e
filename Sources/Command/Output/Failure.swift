/// The report of a failed command on standard error: text, or with `--json` an object.
struct Failure: Encodable {
    /// The name of the exit status.
    let code: String
    let status: Int32
    let message: String

    private struct Answer: Encodable {
        let error: Failure
    }

    init(_ status: ExitStatus, _ message: String) {
        code = "\(status)"
        self.status = status.rawValue
        self.message = message
    }

    /// - Parameter text: the text for people; nil to print the message.
    func report(_ text: String? = nil) {
        // A message is plain text, which is always encoded.
        if Presentation.isJSON, let json = try? JSONOutput.text(Answer(error: self), isLine: true) {
            return Terminal.writeError(json)
        }
        text.map { Terminal.writeError($0) } ?? Terminal.printDiagnostic(message)
    }
}
