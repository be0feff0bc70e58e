// What users of the library meet in its calls lies in modules below it: one import is enough for them.
@_exported import DeviceMemory
@_exported import Files
@_exported import ModelFormats
@_exported import Policies
@_exported import Storage
@_exported import Support
@_exported import Tiers
