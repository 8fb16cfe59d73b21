import { type Keys, keysNotHonoured, keysWithoutEffect } from './keys.ts'

const acl = 'Access control is not built yet.'

/** Who may do what: aclEnable of 4.9, AuthConfig of 5.3. Whoever asks for it must hear that it is not there. */
export const authKeys = {
  ...keysNotHonoured(acl, {
    aclEnable: false,
    authenticationEnabled: false,
    authorizationEnabled: false
  }),
  ...keysWithoutEffect(acl, {
    configName: '',
    clusterName: '',
    authConfigPath: '',
    authenticationProvider: '',
    authenticationMetadataProvider: '',
    authenticationStrategy: '',
    authenticationWhitelist: '',
    initAuthenticationUser: '',
    innerClientAuthenticationCredentials: '',
    authorizationProvider: '',
    authorizationMetadataProvider: '',
    authorizationStrategy: '',
    authorizationWhitelist: '',
    migrateAuthFromV1Enabled: false,
    userCacheMaxNum: 1_000,
    userCacheExpiredSecond: 600,
    userCacheRefreshSecond: 60,
    aclCacheMaxNum: 1_000,
    aclCacheExpiredSecond: 600,
    aclCacheRefreshSecond: 60,
    statefulAuthenticationCacheMaxNum: 10_000,
    statefulAuthenticationCacheExpiredSecond: 60,
    statefulAuthorizationCacheMaxNum: 10_000,
    statefulAuthorizationCacheExpiredSecond: 60
  })
} as const satisfies Keys
