import Foundation
import PackagePlugin

/// Writes the Swift file with the commit and the packages of a build, before each build. `Sources/Command/build-facts`
/// changes the file only if these change.
@main
struct BuildFacts: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let output = context.pluginWorkDirectoryURL.appending(path: "facts")
        return [
            .prebuildCommand(
                displayName: "Facts of the build", executable: URL(filePath: "/bin/sh"),
                arguments: [
                    target.directoryURL.appending(path: "build-facts").path, context.package.directoryURL.path,
                    output.path,
                ],
                environment: ["WEIGHTSTORE_COMMIT": ProcessInfo.processInfo.environment["WEIGHTSTORE_COMMIT"] ?? ""],
                outputFilesDirectory: output)
        ]
    }
}
