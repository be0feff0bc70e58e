import Support
import WeightStore

/// What is shown in place of a part that cannot be read.
enum FailureSection {
    static func html(_ error: any Error) -> HTML {
        let reason = "\(StoreError(error))".withoutURLSecrets
        return """
            <div class="failure" role="alert"><p><strong>This part cannot be read.</strong> \(reason)</p>
            <p><code>weightstore doctor</code> examines the store and names the command that mends it.</p></div>
            """
    }
}
