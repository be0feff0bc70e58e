// Types of these modules appear in the public API: `import WeightStore` is enough to use them.
@_exported import DeviceMemory
@_exported import Files
@_exported import ModelFormats
@_exported import Policies
@_exported import Storage
@_exported import Support
@_exported import Tiers
